"""Header fields: what is refused, what is read, what is sent on, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import headers
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import FieldList, of_request, of_response
from authz_sidecar.core.verdicts import Code

HOST = (b"Host", b"student.example")


def sent_on(*fields: tuple[bytes, bytes], trusted: bool = False) -> FieldList:
    """What is sent upstream besides our own fields."""
    sent = headers.forwarded_request(
        of_request(list(fields)), request_id="r1", peer="192.0.2.7", scheme="http", peer_trusted=trusted
    )
    own = {b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-For", b"X-Request-Id"}
    return [field for field in sent if field[0] not in own]


OVERRIDES = [
    b"X-HTTP-Method-Override",
    b"x-http-method-override",
    b"X_HTTP_Method_Override",
    b"X-HTTP_METHOD-Override",
    b"X.HTTP.Method.Override",
    b"X-HTTP-Method",
    b"X_HTTP_METHOD",
    b"X-Method-Override",
    b"X_Method-Override",
]


FORWARDED_METHODS = [
    b"X-Forwarded-Method",
    b"x-forwarded-method",
    b"X_Forwarded_Method",
    b"X.Forwarded.Method",
    b"X-Original-Method",
    b"X-ORIGINAL_METHOD",
    b"x.original-method",
    b"X-Forwarded-HTTP-Method",
    b"X_Original_Request_Method",
    b"X-Original-Http-Method",
    b"X-Auth-Request-Method",
]


def check(
    fields: FieldList,
    method: str = "GET",
    *,
    token_header: bytes = b"authorization",
    allow_method_override: bool = False,
) -> None:
    headers.check(
        of_request(fields),
        method,
        safe=method in ("GET", "HEAD", "OPTIONS"),
        token_header=token_header,
        allow_method_override=allow_method_override,
    )


class TestCheck:
    @pytest.mark.parametrize(
        "fields",
        [
            [],
            [HOST, (b"Authorization", b"Bearer x"), (b"Connection", b"keep-alive, TE"), (b"TE", b"trailers")],
            [(b"Cookie", b"a"), (b"Cookie", b"b"), (b"X-Host", b"a"), (b"Proxy-Authorization", b"x")],
            [(b"Connection", b"close"), (b"Connection", b"Upgrade"), (b"Connection", b"X-Authz-User")],
            [(b"Connection", b",".join(b"x-%d" % n for n in range(100)))],
        ],
    )
    def test_accepted(self, fields: FieldList) -> None:
        check(fields)

    @pytest.mark.parametrize(
        "fields",
        [
            [HOST, (b"host", b"other")],
            [HOST, HOST],
            [(b"Authorization", b"Bearer a"), (b"AUTHORIZATION", b"Bearer b")],
            [(b"Connection", b"Authorization")],
            [(b"Connection", b"keep-alive ,\thost")],
            [(b"connection", b"close"), (b"Connection", b"COOKIE")],
            [(b"Connection", b"Content-Length")],
            [(b"Connection", b"transfer-encoding")],
            [(b"Connection", b",".join(b"x-%d" % n for n in range(101)))],
            [(b"Connection", b"a" + b"," * 60), (b"Connection", b"b" + b"," * 60)],
        ],
    )
    def test_refused(self, fields: FieldList) -> None:
        with pytest.raises(Refused) as caught:
            check(fields, allow_method_override=True)
        assert caught.value.code is Code.BAD_HEADER

    @pytest.mark.parametrize(
        "fields",
        [
            [(b"X-Token", b"a"), (b"x-token", b"a")],
            [(b"X-Token", b"a"), (b"X.Token", b"b")],
            [(b"x.token", b"a")],
            [(b"X-Token", b"a"), (b"Connection", b"close, X-TOKEN")],
            [(b"Connection", b"x-token")],
            [(b"X-Token", b"a"), (b"Connection", b"Authorization")],
        ],
    )
    def test_another_header_with_the_token_is_guarded_alike(self, fields: FieldList) -> None:
        with pytest.raises(Refused) as caught:
            check(fields, token_header=b"x-token")
        assert caught.value.code is Code.BAD_HEADER

    @pytest.mark.parametrize("name", OVERRIDES)
    def test_method_override(self, name: bytes) -> None:
        fields = [HOST, (name, b"DELETE")]
        with pytest.raises(Refused) as caught:
            check(fields)
        assert caught.value.code is Code.METHOD_OVERRIDE
        check(fields, allow_method_override=True)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    @pytest.mark.parametrize("value", [b"DELETE", b"delete", b" POST ", b"PROPFIND", b"GET, POST", b""])
    @pytest.mark.parametrize("name", FORWARDED_METHODS)
    def test_a_hook(self, name: bytes, value: bytes, method: str) -> None:
        for fields in ([(name, value)], [(name, method.encode()), (name, value)]):
            with pytest.raises(Refused) as caught:
                check(fields, method)
            assert caught.value.code is Code.LOOKS_LIKE_A_HOOK

    @pytest.mark.parametrize("name", FORWARDED_METHODS)
    def test_no_hook(self, name: bytes) -> None:
        check([(name, b"GET"), (name, b"get ")])
        check([(name, b"DELETE")], "POST")
        check([(b"X-Forwarded-Uri", b"/students/1/"), (b"X-Original-URL", b"/")])


class TestBearerToken:
    @pytest.mark.parametrize(
        ("fields", "header", "wanted"),
        [
            ([HOST, (b"Authorization", b"Bearer a.b.c")], b"authorization", b"a.b.c"),
            ([(b"AUTHORIZATION", b"bEARER   a.b.c ")], b"authorization", b"a.b.c"),
            ([(b"X-Token", b"a.b.c"), (b"Authorization", b"Basic x")], b"x-token", b"a.b.c"),
            ([(b"x-token", b"Bearer a.b.c")], b"x-token", b"a.b.c"),
        ],
    )
    def test_found(self, fields: FieldList, header: bytes, wanted: bytes) -> None:
        assert headers.bearer_token(of_request(fields), header) == wanted

    @pytest.mark.parametrize(
        ("fields", "header", "code"),
        [
            ([], b"authorization", Code.TOKEN_MISSING),
            ([(b"Authorization", b"")], b"authorization", Code.TOKEN_MISSING),
            ([(b"Authorization", b"Basic dTpw")], b"authorization", Code.TOKEN_MISSING),
            ([(b"Authorization", b"a.b.c")], b"authorization", Code.TOKEN_MISSING),
            ([(b"X_Token", b"a.b.c")], b"x-token", Code.TOKEN_MISSING),
            ([(b"Authorization", b"Bearer a.b.c")], b"x-token", Code.TOKEN_MISSING),
            ([(b"Authorization", b"Bearer")], b"authorization", Code.TOKEN_INVALID),
            ([(b"Authorization", b"Bearer  ")], b"authorization", Code.TOKEN_INVALID),
            ([(b"Authorization", b"Bearer a, Bearer b")], b"authorization", Code.TOKEN_INVALID),
            ([(b"Authorization", b"Bearer a,b")], b"authorization", Code.TOKEN_INVALID),
            ([(b"Authorization", b"Bearer a b")], b"authorization", Code.TOKEN_INVALID),
            ([(b"X-Token", b"a"), (b"x-token", b"a")], b"x-token", Code.TOKEN_INVALID),
            ([(b"X-Token", b"")], b"x-token", Code.TOKEN_INVALID),
        ],
    )
    def test_refused(self, fields: FieldList, header: bytes, code: Code) -> None:
        with pytest.raises(Refused) as caught:
            headers.bearer_token(of_request(fields), header)
        assert caught.value.code is code


class TestMinRevision:
    @pytest.mark.parametrize(
        ("fields", "wanted"),
        [
            ([HOST], None),
            ([(b"authz-min-revision", b"3f2a9c1b.1234")], RevisionToken("3f2a9c1b", 1234)),
            ([(b"Authz-Min-Revision", b"00000000.0")], RevisionToken("00000000", 0)),
            ([(b"Authz_Min_Revision", b"junk")], None),
        ],
    )
    def test_read(self, fields: FieldList, wanted: RevisionToken | None) -> None:
        assert headers.min_revision(of_request(fields)) == wanted

    @pytest.mark.parametrize(
        "values",
        [
            [b""],
            [b"1234"],
            [b"3F2A9C1B.1"],
            [b"3f2a9c1.1"],
            [b"3f2a9c1b.-1"],
            [b"3f2a9c1b.01"],
            [b"3f2a9c1b." + b"9" * 17],
            [b"3f2a9c1b.1\n"],
            ["3f2a9c1b.٣".encode()],
            [b"3f2a9c1b.1,3f2a9c1b.2"],
            [b"3f2a9c1b.1", b"3f2a9c1b.1"],
        ],
    )
    def test_refused(self, values: list[bytes]) -> None:
        with pytest.raises(Refused) as caught:
            headers.min_revision(of_request([(b"Authz-Min-Revision", value) for value in values]))
        assert caught.value.code is Code.REVISION_MALFORMED


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], None),
        ([b"abc-1.2_3"], "abc-1.2_3"),
        ([b"a" * 64], "a" * 64),
        ([b"a" * 65], None),
        ([b""], None),
        ([b"a b"], None),
        ([b"a\n"], None),
        (["é".encode()], None),
        ([b"a", b"b"], None),
    ],
)
def test_request_id(values: list[bytes], wanted: str | None) -> None:
    assert headers.request_id(of_request([(b"x-request-ID", value) for value in values])) == wanted


class TestForwardedRequest:
    def test_order_case_and_duplicates_are_kept(self) -> None:
        fields = [
            (b"accEPT", b"a"),
            HOST,
            (b"Cookie", b"1"),
            (b"X-\xff", b"\xff"),
            (b"Cookie", b"1"),
            (b"B", b""),
        ]
        assert sent_on(*fields) == fields

    def test_our_own_fields(self) -> None:
        sent = headers.forwarded_request(
            of_request(
                [
                    HOST,
                    (b"X-Request-Id", b"theirs"),
                    (b"X-Forwarded-For", b"1.1.1.1"),
                    (b"x_forwarded_for", b"2.2.2.2"),
                ]
            ),
            request_id="r1",
            peer="192.0.2.7",
            scheme="https",
            peer_trusted=False,
        )
        assert sent == [
            HOST,
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", HOST[1]),
            (b"X-Forwarded-For", b"192.0.2.7"),
            (b"X-Request-Id", b"r1"),
        ]

    def test_without_host_and_peer(self) -> None:
        sent = headers.forwarded_request(
            of_request([]), request_id="r1", peer="", scheme="http", peer_trusted=False
        )
        assert sent == [
            (b"X-Forwarded-Proto", b"http"),
            (b"X-Forwarded-For", b"unknown"),
            (b"X-Request-Id", b"r1"),
        ]

    def test_a_trusted_peer_is_believed_and_added(self) -> None:
        sent = headers.forwarded_request(
            of_request(
                [
                    HOST,
                    (b"X-Forwarded-For", b"1.1.1.1"),
                    (b"x-forwarded-proto", b"https"),
                    (b"X-Forwarded-Prefix", b"/p"),
                    (b"Forwarded", b"for=1.1.1.1"),
                    (b"x-forwarded-for", b"2.2.2.2"),
                    (b"X_Forwarded_Proto", b"ftp"),
                ]
            ),
            request_id="r1",
            peer="192.0.2.7",
            scheme="http",
            peer_trusted=True,
        )
        assert sent == [
            HOST,
            (b"x-forwarded-proto", b"https"),
            (b"X-Forwarded-Prefix", b"/p"),
            (b"Forwarded", b"for=1.1.1.1"),
            (b"X-Forwarded-Host", HOST[1]),
            (b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2, 192.0.2.7"),
            (b"X-Request-Id", b"r1"),
        ]

    @pytest.mark.parametrize(
        "name",
        [
            b"Forwarded",
            b"X-Real-IP",
            b"X-Forwarded-Proto",
            b"x-forwarded-HOST",
            b"X-Forwarded-Prefix",
            b"X-Forwarded-Uri",
            b"X.Forwarded.For",
            b"X-Original-URL",
            b"X-Rewrite-URL",
            b"X-Forwarded-Method",
            b"X.Original.Method",
        ],
    )
    def test_forwarding_fields_of_anyone_else_are_dropped(self, name: bytes) -> None:
        assert sent_on(HOST, (name, b"x")) == [HOST]

    @pytest.mark.parametrize("trusted", [False, True])
    @pytest.mark.parametrize(
        "name",
        [
            b"X-Authz-User",
            b"x-authz-user",
            b"X_Authz_User",
            b"X.Authz.User",
            b"SCRIPT_NAME",
            b"PATH_INFO",
            b"X_HTTP_Method_Override",
            b"Connection",
            b"Keep-Alive",
            b"Proxy-Connection",
            b"Proxy-Authorization",
            b"Proxy",
            b"Transfer-Encoding",
            b"Upgrade",
            b"HTTP2-Settings",
            b"TE",
            b"x-request-id",
            b"Content.Length",
            b"content.LENGTH",
            b"Authz.Min-Revision",
            b"Transfer.Encoding",
        ],
    )
    def test_dropped_from_everyone(self, name: bytes, trusted: bool) -> None:
        assert sent_on(HOST, (name, b"x"), trusted=trusted) == [HOST]

    @pytest.mark.parametrize("name", [b"Content-Length", b"Trailer", b"Expect", b"X-HTTP-Method-Override"])
    def test_left_to_others(self, name: bytes) -> None:
        assert sent_on((name, b"1")) == [(name, b"1")]

    def test_what_connection_names_is_removed(self) -> None:
        fields = [
            (b"X-One", b"1"),
            (b"Connection", b"close, x-one"),
            (b"x-ONE", b"2"),
            (b"Connection", b"X-Two"),
            HOST,
        ]
        assert sent_on(*fields, (b"X-Two", b"3")) == [HOST]

    def test_connection_cannot_remove_what_decides_or_frames(self) -> None:
        """In shadow mode a request that names these is forwarded all the same."""
        names = (b"Authorization", b"Host", b"Cookie", b"Content-Length", b"Trailer", b"Expect")
        fields = [(name, b"1") for name in names]
        assert sent_on((b"Connection", b",".join(names)), *fields) == fields

    def test_connection_cannot_remove_our_own_fields(self) -> None:
        sent = headers.forwarded_request(
            of_request([HOST, (b"Connection", b"X-Forwarded-For, X-Request-Id, X-Forwarded-Proto")]),
            request_id="r1",
            peer="192.0.2.7",
            scheme="http",
            peer_trusted=True,
        )
        assert {b"X-Forwarded-For", b"X-Request-Id", b"X-Forwarded-Proto"} <= {name for name, _ in sent}


def test_forwarded_response() -> None:
    kept = [
        (b"Content-Length", b"3"),
        (b"set-Cookie", b"a"),
        (b"Trailer", b"X-Sum"),
        (b"Set-Cookie", b"b"),
        (b"X_Odd", b"\xff"),
        (b"X-Forwarded-For", b"x"),
    ]
    dropped = [
        (b"Connection", b"close, X-Internal, Content-Length"),
        (b"Keep-Alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"x-internal", b"1"),
        (b"Upgrade", b"h2c"),
    ]
    assert headers.forwarded_response(of_response([*kept[:3], *dropped, *kept[3:]])) == kept


NAMES = st.sampled_from([*OVERRIDES, b"Host", b"connection", b"X-A", b"x_a", b"X-Authz-A", b"TE", b"Upgrade"])


@given(
    st.lists(st.tuples(NAMES | st.binary(min_size=1, max_size=9), st.binary(max_size=9) | NAMES), max_size=9)
)
def test_no_fields_make_anything_fail_or_smuggle_a_name(fields: FieldList) -> None:
    for read in (
        lambda: check(fields),
        lambda: headers.bearer_token(of_request(fields), b"authorization"),
        lambda: headers.min_revision(of_request(fields)),
    ):
        try:
            read()
        except Refused:
            continue
    headers.request_id(of_request(fields))
    sent = headers.forwarded_request(
        of_request(fields), request_id="r", peer="::1", scheme="http", peer_trusted=False
    )
    assert not [name for name, _ in sent if b"_" in name or name.lower() in (b"connection", b"upgrade")]
    assert [field for field in sent if field in fields] == [field for field in fields if field in sent]
