"""The OpenAPI document names operations after the resource and the action: `user_sign_out_everywhere`."""

from drf_spectacular.openapi import AutoSchema


class ActionSchema(AutoSchema):
    def get_operation_id(self) -> str:
        action = getattr(self.view, "action", None)
        if action is None:
            return super().get_operation_id()
        return f"{getattr(self.view, 'basename', '')}_{action}"
