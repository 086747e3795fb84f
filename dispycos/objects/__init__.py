"""Objects that stay where they are and are used from elsewhere: what rpc and easycluster are made of."""
