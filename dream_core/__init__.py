"""The dream engine: a picture and a `DreamSpec` in, a better picture out."""
