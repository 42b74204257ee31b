{{ checked_lookup("observation_period", dates=["observation_period_end_date"]) }}
