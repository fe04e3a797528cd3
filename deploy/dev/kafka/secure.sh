# The secure listeners of kafka.sh; sourced by it, never run. Everything secret is made anew for
# each broker, in DIR/secrets, and is good for nothing else:
#
#   ca.pem                       the authority that signed broker and client
#   client.pem client.key        a client's certificate and key, for mutual TLS
#   other-ca.pem                 an authority that signed nothing here
#   password                     of the user "sluice", for PLAIN and SCRAM
#   jwks.json token.key          what the broker checks OAUTHBEARER tokens with, and who signs them
#
# The broker's certificate names 127.0.0.1 and nothing else: "localhost" is a wrong host name.

sasl_user=sluice
token_audience=kafka

# Makes DIR/secrets unless it is there.
make_secrets() { # DIR
  local dir="$1/secrets" new="$1/secrets.new"
  [ -d "$dir" ] && return 0
  need_command openssl "a broker with TLS"
  rm -rf "$new"
  mkdir -m 700 "$new"
  (
    cd "$new"
    umask 077
    make_authority ca
    make_authority other-ca
    make_certificate server 127.0.0.1 "subjectAltName=IP:127.0.0.1"
    make_certificate client "$sasl_user" "extendedKeyUsage=clientAuth"
    cat server.key server.pem ca.pem >server-store.pem
    openssl rand -hex 16 | tr -d '\n' >password
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out token.key
    make_jwks >jwks.json
  ) >"$1/secrets.log" 2>&1 || {
    show_log "$1/secrets.log"
    die "the certificates could not be made"
  }
  mv "$new" "$dir"
}

base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

# RFC 7517; openssl makes keys with the exponent 65537 ("AQAB").
make_jwks() {
  local modulus
  modulus="$(openssl rsa -in token.key -noout -modulus | sed 's/^Modulus=//' |
    python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read().strip()))' |
    base64url)"
  printf '{"keys":[{"kty":"RSA","kid":"1","alg":"RS256","use":"sig","n":"%s","e":"AQAB"}]}\n' \
    "$modulus"
}

# Prints a signed token (RFC 7519) for SUBJECT that is good for SECONDS.
make_token() { # DIR SUBJECT SECONDS
  local now head body
  now="$(date +%s)"
  head="$(printf '{"alg":"RS256","kid":"1","typ":"JWT"}' | base64url)"
  body="$(printf '{"sub":"%s","aud":"%s","iat":%d,"exp":%d}' "$2" "$token_audience" "$now" \
    "$((now + $3))" | base64url)"
  printf '%s.%s.%s\n' "$head" "$body" "$(printf '%s.%s' "$head" "$body" |
    openssl dgst -sha256 -sign "$1/secrets/token.key" -binary | base64url)"
}

secure_listeners() { # TLS_PORT MTLS_PORT SASL_PORT
  echo ",TLS://127.0.0.1:$1,MTLS://127.0.0.1:$2,SASL://127.0.0.1:$3"
}

secure_properties() { # DIR
  local secrets="$1/secrets" security=org.apache.kafka.common.security
  cat <<PROPERTIES
ssl.keystore.type=PEM
ssl.keystore.location=$secrets/server-store.pem
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=$security.plain.PlainLoginModule required \
  user_$sasl_user="$(cat "$secrets/password")";
listener.name.sasl.scram-sha-256.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=$security.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=\
  $security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl.oauthbearer.sasl.server.callback.handler.class=\
  $security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.sasl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://$secrets/jwks.json
listener.name.sasl.oauthbearer.sasl.oauthbearer.expected.audience=$token_audience
# authenticated connections end with their token
listener.name.sasl.oauthbearer.connections.max.reauth.ms=3600000
PROPERTIES
}

# Users of SCRAM are the controller's data: written when the storage is formatted.
scram_options() { # DIR
  local mechanism
  for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
    printf -- '--add-scram\n%s=[name=%s,password=%s]\n' "$mechanism" "$sasl_user" \
      "$(cat "$1/secrets/password")"
  done
}

secure_env() { # DIR TLS_PORT MTLS_PORT SASL_PORT
  printf 'BOOTSTRAP_TLS=127.0.0.1:%s\nBOOTSTRAP_MTLS=127.0.0.1:%s\n' "$2" "$3"
  printf 'BOOTSTRAP_SASL=127.0.0.1:%s\nSECRETS=%s\n' "$4" "$1/secrets"
}
