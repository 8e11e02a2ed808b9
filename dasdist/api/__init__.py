"""What users call: `functions`, the models that have them as methods, and what they return."""
