"""What Travis does by itself for each language: its image, what it installs, how it tests.

Follows the pages "Building a ... Project" of Travis' documentation. Where it looks at the repository (a Makefile, a
lock file) the step looks, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farmgate.importing import images


@dataclass(frozen=True, slots=True)
class Language:
    """`key` holds the versions; `image` names the image family; the commands are Travis' own defaults."""

    key: str
    image: str | None
    install: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    version: str | None = None


_NODE_INSTALL = (
    "if [ -f yarn.lock ]; then yarn --frozen-lockfile; elif [ -f package-lock.json ]; then npm ci; else npm install; fi"
)
_MAVEN = "if [ -f gradlew ]; then ./gradlew {}; elif [ -f build.gradle ]; then gradle {}; else mvn {}; fi"
_MAVEN_INSTALL = _MAVEN.format("assemble", "assemble", "install -DskipTests=true -Dmaven.javadoc.skip=true -B -V")
_MAVEN_TEST = _MAVEN.format("check", "check", "test -B")

LANGUAGES: Final[dict[str, Language]] = {
    "python": Language(
        "python", "python", ("if [ -f requirements.txt ]; then pip install -r requirements.txt; fi",), ()
    ),
    "node_js": Language("node_js", "node", (_NODE_INSTALL,), ("npm test",)),
    "go": Language(
        "go",
        "go",
        ("if [ ! -f Makefile ]; then go get -t -v ./...; fi",),
        ("if [ -f Makefile ]; then make; else go test -v ./...; fi",),
    ),
    "ruby": Language(
        "rvm",
        "ruby",
        ("if [ -f Gemfile ]; then bundle install --jobs=3 --retry=3; fi",),
        ("if [ -f Gemfile ]; then bundle exec rake; else rake; fi",),
    ),
    "rust": Language("rust", "rust", (), ("cargo build --verbose", "cargo test --verbose")),
    "java": Language("jdk", "java", (_MAVEN_INSTALL,), (_MAVEN_TEST,)),
    "groovy": Language("jdk", "java", (_MAVEN_INSTALL,), (_MAVEN_TEST,)),
    "php": Language("php", "php", (), ("phpunit",)),
    "perl": Language(
        "perl",
        "perl",
        ("cpanm --quiet --installdeps --notest .",),
        (
            (
                "if [ -f Build.PL ]; then perl Build.PL && ./Build && ./Build test; "
                "elif [ -f Makefile.PL ]; then perl Makefile.PL && make test; else make test; fi"
            ),
        ),
    ),
    "c": Language("compiler", "gcc", (), ("./configure && make && make test",)),
    "cpp": Language("compiler", "gcc", (), ("./configure && make && make test",)),
    "elixir": Language(
        "elixir", "elixir", ("mix local.hex --force", "mix local.rebar --force", "mix deps.get"), ("mix test",)
    ),
    "erlang": Language("otp_release", "erlang", ("rebar3 get-deps",), ("rebar3 eunit",)),
    "haskell": Language(
        "ghc",
        "haskell",
        ("cabal update", "cabal install --only-dependencies --enable-tests"),
        ("cabal configure --enable-tests && cabal build && cabal test",),
    ),
    "scala": Language("scala", None, (), ("sbt test",)),
    "clojure": Language("lein", None, ("lein deps",), ("lein test",)),
    "csharp": Language("dotnet", "dotnet", (), ()),
    "crystal": Language("crystal", "crystal", ("shards install",), ("crystal spec",)),
    "dart": Language("dart", "dart", ("dart pub get",), ("dart test",)),
    "julia": Language("julia", "julia", (), ("julia --project -e 'using Pkg; Pkg.build(); Pkg.test(coverage=true)'",)),
    "r": Language(
        "r",
        "r",
        ("Rscript -e 'install.packages(\"remotes\"); remotes::install_deps(dependencies = TRUE)'",),
        ("R CMD build .", "R CMD check *tar.gz"),
    ),
    "swift": Language("swift", "swift", (), ("swift build", "swift test")),
    "generic": Language("generic", None),
    "minimal": Language("minimal", None),
    "shell": Language("shell", None),
    "bash": Language("bash", None),
    "sh": Language("sh", None),
    "android": Language("android", None, (), ()),
    "nix": Language("nix", None, (), ("nix-build",)),
}
ALIASES: Final = {
    "javascript": "node_js",
    "node": "node_js",
    "golang": "go",
    "rb": "ruby",
    "jvm": "java",
    "cplusplus": "cpp",
    "c++": "cpp",
    "net": "csharp",
    "": "ruby",
    "common_lisp": "generic",
    "ubuntu": "generic",
}
VERSIONS: Final = {language.key: name for name, language in reversed(LANGUAGES.items())}


def image(language: Language, version: str | None, dist: str | None) -> str:
    """The image of a job."""
    if language.key == "compiler":
        return images.UBUNTU.get(dist or "", images.PLAIN)
    if language.key == "python" and version:
        return images.python(version)
    if language.image is not None:
        return images.image(language.image, version) or images.PLAIN
    if language.key in ("lein", "scala"):  # sbt has no official image
        return {"lein": "clojure:lein", "scala": "eclipse-temurin:21"}[language.key]
    return images.UBUNTU.get(dist or "", images.PLAIN)
