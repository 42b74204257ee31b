"""What assets talk to: the artifact store, the training launcher, MLflow, the Dask cluster."""
