"""OCI's nouns: digest, reference, repository name, media types, manifest. Pure: no gRPC, SQL or HTTP."""
