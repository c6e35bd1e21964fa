"""What is asked of a server: each module asks one thing and judges the answer, in two steps; `suite` lists them."""
