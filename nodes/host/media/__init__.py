"""Pictures, video and sound: reading the user's media, codecs, and writing files."""
