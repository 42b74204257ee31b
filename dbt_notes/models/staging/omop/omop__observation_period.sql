{{ checked_lookup("observation_period") }}
