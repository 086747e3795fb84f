"""What processes say to each other: one file a conversation. `dispycos.messages` has it all."""
