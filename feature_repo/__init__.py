"""Feast: entities, sources, views and services, under the names in nearline.feast_layout."""
