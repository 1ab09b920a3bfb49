"""The decisions port: answers about requests that another gateway holds."""
