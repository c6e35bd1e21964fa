"""hosts.yaml: its entries, how it is read, and what every error in it is called."""
