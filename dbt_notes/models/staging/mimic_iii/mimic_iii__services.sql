{{ checked_lookup("services", dates=["transfertime"]) }}
