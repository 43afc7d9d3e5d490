"""Built-in adapters, one file each; they see the contract and nothing else of the harness."""
