# Loaded by Schemathesis: parts of files are bytes as they are, under the name that tus gives them.
import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
