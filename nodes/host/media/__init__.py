"""The user's pictures, video and sound: reading, encoding with codecs, writing files."""
