"""Rules that make tags immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_immutable_rule, to_repository_selectors, to_tag_selectors
from metasvc.domain.immutable_rule import ImmutableRuleChange, create_rule, delete_rule, list_rules, update_rule
from metasvc.domain.immutable_rule_model import NewImmutableRule
from roadstead.meta.v1 import immutable_rule_service_pb2 as pb
from roadstead.meta.v1.immutable_rule_service_pb2_grpc import ImmutableRuleServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request
from svckit.errors import FieldViolation, Invalid
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]

_OTHER_ID = "the immutable_rule_id doesn't match the id in the payload body of ImmutableRule"
"""Harbor's text."""


class ImmutableRuleServicer(ImmutableRuleServiceServicer):
    """Serves `roadstead.meta.v1.ImmutableRuleService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateImmutableRule(
        self, request: pb.CreateImmutableRuleRequest, context: Context
    ) -> pb.CreateImmutableRuleResponse:
        call = current_call()
        new = NewImmutableRule(
            project_id=authorized_project(call).id,
            is_disabled=request.disabled,
            priority=request.priority,
            template=request.template,
            repositories=to_repository_selectors(request.scope_selectors),
            tags=to_tag_selectors(request.tag_selectors),
        )
        made = await create_rule(self._ports, new, call.origin, key=idempotency_key(request))
        return pb.CreateImmutableRuleResponse(rule=from_immutable_rule(made), project_id=made.project_id)

    async def ListImmutableRules(
        self, request: pb.ListImmutableRulesRequest, context: Context
    ) -> pb.ListImmutableRulesResponse:
        page = await list_rules(
            self._ports, project_id=authorized_project(current_call()).id, request=to_list_request(request)
        )
        return pb.ListImmutableRulesResponse(
            rules=map(from_immutable_rule, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def UpdateImmutableRule(
        self, request: pb.UpdateImmutableRuleRequest, context: Context
    ) -> pb.UpdateImmutableRuleResponse:
        call = current_call()
        if request.HasField("id") and request.id != request.immutable_rule_id:
            raise Invalid(message=_OTHER_ID, violations=[FieldViolation("id", "must be that of the path")])
        change = ImmutableRuleChange(
            is_disabled=request.disabled if request.HasField("disabled") else None,
            priority=request.priority if request.HasField("priority") else None,
            template=request.template if request.HasField("template") else None,
            repositories=to_repository_selectors(request.scope_selectors)
            if request.HasField("scope_selectors")
            else None,
            tags=to_tag_selectors(request.tag_selectors) if request.HasField("tag_selectors") else None,
            etag=request.etag,
        )
        rule = await update_rule(
            self._ports,
            project_id=authorized_project(call).id,
            rule_id=request.immutable_rule_id,
            change=change,
            origin=call.origin,
        )
        return pb.UpdateImmutableRuleResponse(rule=from_immutable_rule(rule))

    async def DeleteImmutableRule(
        self, request: pb.DeleteImmutableRuleRequest, context: Context
    ) -> pb.DeleteImmutableRuleResponse:
        call = current_call()
        await delete_rule(
            self._ports,
            project_id=authorized_project(call).id,
            rule_id=request.immutable_rule_id,
            origin=call.origin,
        )
        return pb.DeleteImmutableRuleResponse()
