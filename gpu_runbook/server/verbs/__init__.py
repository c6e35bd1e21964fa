"""What a server can be asked: one module for each verb, with an `answer`."""
