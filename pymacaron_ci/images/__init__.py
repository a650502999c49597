"""Images as registries know them: layers, configuration, manifest, and how they are sent."""
