"""What else comes from the laptop: .env, templates, and what they render to."""
