"""`make matrix`: the tool on the docker, RabbitMQ, OpenSSH and Python that people have, a short life on each."""
