{{ checked_lookup("death") }}
