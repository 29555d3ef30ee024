-- id → the document, false where there is none.
return document()
