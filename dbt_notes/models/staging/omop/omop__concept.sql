{{ checked_lookup("concept") }}
