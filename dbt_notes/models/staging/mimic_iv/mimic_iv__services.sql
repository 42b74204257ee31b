{{ checked_lookup("services") }}
