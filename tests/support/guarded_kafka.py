"""A broker that encrypts and wants to know who is there, with a certificate of its own making."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clm_local.child import Child
from clm_local.ports import HOST, free_ports
from tests.support.servers import KafkaNode

PASSWORD = "swordfish"
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


class GuardedKafka(KafkaNode):
    """A broker with a listener for SASL over TLS beside the plain one."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        (self.guarded_port,) = free_ports(1)
        self.authority = home / "authority.pem"

    @property
    def variables(self) -> dict[str, str]:
        """What a service is told of it."""
        return {
            "CLM_KAFKA_BOOTSTRAP": f"{HOST}:{self.guarded_port}",
            "CLM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "CLM_KAFKA_SASL_MECHANISM": "PLAIN",
            "CLM_KAFKA_SASL_USERNAME": "clm",
            "CLM_KAFKA_SASL_PASSWORD": PASSWORD,
            "CLM_KAFKA_SSL_CAFILE": str(self.authority),
        }

    async def describe(self) -> Child:
        """Describe the process; of two lines with one name Java reads the last."""
        described = await super().describe()
        keystore = self.home / "keystore.pem"
        certificate = write_certificate(keystore)
        self.authority.write_text(certificate)  # it vouches for itself
        plain, controller = f"PLAINTEXT://{HOST}:{self.port}", f"{HOST}:{self.controller_port}"
        guarded = f"SASL_SSL://{HOST}:{self.guarded_port}"
        protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL"
        user = f'username="clm" password="{PASSWORD}" user_clm="{PASSWORD}"'
        settings = {
            "listener.security.protocol.map": protocols,
            "listeners": f"{plain},{guarded},CONTROLLER://{controller}",
            "advertised.listeners": f"{plain},{guarded}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{_LOGIN} {user};",
        }
        with (self.home / "kafka" / "server.properties").open("a") as properties:
            properties.writelines(f"{name}={value}\n" for name, value in settings.items())
        return described


def write_certificate(keystore: Path) -> str:
    """Write a key and the certificate of this machine, and give the latter."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    keystore.write_text(private + text)
    return text
