"""Clusters of the simulated Kubernetes Engine: an API server, its controllers, pods that run."""
