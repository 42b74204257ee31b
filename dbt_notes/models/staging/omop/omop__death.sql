{{ checked_lookup("death", dates=["death_date", "death_datetime"]) }}
