"""The page of `fab report`: how servers are and were, as one HTML file that needs nothing else."""
