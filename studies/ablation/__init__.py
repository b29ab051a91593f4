"""The paper's ablations at toon scale: small models that differ in one part each, and the effect of that part."""
