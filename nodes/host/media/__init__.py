"""Pictures, video and sound: reading the user's media, VAEs, and writing files."""
