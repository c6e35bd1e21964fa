"""The page of `fab report`, in a real browser."""
