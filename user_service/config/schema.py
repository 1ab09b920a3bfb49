"""The OpenAPI document names operations after the resource and the action: `user_sign_out_everywhere`."""

from drf_spectacular.openapi import AutoSchema


class ActionSchema(AutoSchema):
    def get_operation_id(self) -> str:
        action = getattr(self.view, "action", None)
        return f"{self.view.basename}_{action}" if action else super().get_operation_id()
