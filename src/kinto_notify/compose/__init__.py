"""Digest and recipient to RFC 5322 bytes, complete before any socket opens. The door is `composer.Composer`."""
