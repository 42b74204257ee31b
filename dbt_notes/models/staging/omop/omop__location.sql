{{ checked_lookup("location") }}
