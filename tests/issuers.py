"""Identity providers: npm's oidc-provider, which is certified for OpenID Connect, and people who sign
in there."""

import base64
import hashlib
import http.cookiejar
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from dhow import ROOT

BACK = "http://127.0.0.1/back"
SECRET = "a secret of this client"


class Issuers:
    """A process with identity providers on ports of their own."""

    def __init__(self):
        modules = ROOT / ".node-sdks" / "node_modules"
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests" / "sdks" / "issuers.mjs")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "NODE_MODULES": str(modules)})

    def order(self, order, **more):
        self.process.stdin.write(json.dumps({"order": order, **more}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def start(self, **more):
        return Issuer(self, **self.order("start", **more))

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Issuer:
    def __init__(self, issuers, n, url):
        self.issuers, self.n, self.url = issuers, n, url
        self.place = url.partition("://")[2]

    def order(self, order, **more):
        return self.issuers.order(order, n=self.n, **more)

    def forged(self, head=None, **claims):
        """A token as the provider itself would sign it, but for what is said; `None` leaves a claim
        out."""
        now = int(time.time())
        head = {"alg": "RS256", **(head or {})}
        by = claims.pop("by", None)
        all_claims = {"iss": self.url, "sub": "anna", "aud": "dhow", "iat": now, "exp": now + 600,
                      **claims}
        given = {name: value for name, value in all_claims.items() if value is not None}
        more = {} if by is None else {"by": by.n}
        return self.order("sign", head=head, claims=given, **more)["token"]

    def sign_in(self, name, client="dhow"):
        """An ID token, by the authorization code flow in which the person types their name."""
        verifier = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {"client_id": client, "response_type": "code", "scope": "openid",
                 "redirect_uri": BACK, "code_challenge_method": "S256",
                 "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
        at = self.visit(f"{self.url}/auth?{urllib.parse.urlencode(asked)}", name, BACK)
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(at).query)["code"][0]
        basic = base64.b64encode(
            f"{urllib.parse.quote(client)}:{urllib.parse.quote(SECRET)}".encode()).decode()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
                "code_verifier": verifier}
        request = urllib.request.Request(
            f"{self.url}/token", urllib.parse.urlencode(form).encode(),
            {"authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id_token"]

    def visit(self, at, name, back):
        """Signs a person in at this address of the provider; answers where it leads them back to."""
        jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(
            strict_ns_domain=http.cookiejar.DefaultCookiePolicy.DomainLiberal))
        web = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), _NoRedirect())
        for _ in range(10):
            at = self._next(web, at)
            if at.startswith(back):
                break
            if "/interaction/" in at:
                page = web.open(at).read().decode()
                prompt = "login" if 'name="login"' in page else "consent"
                at = self._next(web, at, {"prompt": prompt, "login": name, "password": "x"})
                if at.startswith(back):
                    break
        return at

    def _next(self, web, at, form=None):
        body = urllib.parse.urlencode(form).encode() if form else None
        with web.open(at, body) as answer:
            assert answer.status in (302, 303), (at, answer.status, answer.read())
            return urllib.parse.urljoin(at, answer.headers["location"])


class _NoRedirect(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


def parts(token):
    """The head and the claims."""
    pad = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return [json.loads(pad(part)) for part in token.split(".")[:2]]
