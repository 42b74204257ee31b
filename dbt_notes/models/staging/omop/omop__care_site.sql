{{ checked_lookup("care_site") }}
