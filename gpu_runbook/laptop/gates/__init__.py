"""What has to hold of an image before it is deployed, and is asked of others: its CI and its security scan."""
