"""The five checks. Each module asks one thing of the server it runs on and judges the answer, in two steps."""
