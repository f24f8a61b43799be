"""The types of OCI: digest, reference, repository name, media types, manifest. They use no gRPC, SQL or HTTP."""
