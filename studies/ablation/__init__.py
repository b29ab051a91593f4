"""The paper's ablations at toon scale: many small models, alike but for one part each, and what the part was worth."""
