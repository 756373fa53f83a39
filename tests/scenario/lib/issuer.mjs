// SPDX-License-Identifier: Apache-2.0
// An issuer of our own: keys, a JWKS file and tokens, also malformed ones.
import crypto from 'node:crypto';
import fs from 'node:fs';

const b64 = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');

const GENERATORS = {
  EdDSA: () => crypto.generateKeyPairSync('ed25519'),
  ES256: () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  RS256: () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

function signature(alg, key, data) {
  if (alg === 'EdDSA') return crypto.sign(null, data, key);
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith('ES')) return crypto.sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS')) {
    return crypto.sign(hash, data, {
      key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST,
    });
  }
  return crypto.sign(hash, data, key);
}

// RFC 7638.
export function thumbprint(jwk) {
  const members = { OKP: ['crv', 'kty', 'x'], EC: ['crv', 'kty', 'x', 'y'], RSA: ['e', 'kty', 'n'] }[jwk.kty];
  const canonical = JSON.stringify(Object.fromEntries(members.map((m) => [m, jwk[m]])));
  return crypto.createHash('sha256').update(canonical).digest('base64url');
}

export class Issuer {
  constructor(name, jwksFile, algorithms = ['EdDSA']) {
    this.name = name;
    this.jwksFile = jwksFile;
    this.keys = algorithms.map((alg, i) => this.makeKey(alg, `${alg}-${i}`));
    this.write();
  }

  makeKey(alg, kid) {
    const pair = GENERATORS[alg]();
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
    return { kid, alg, private: pair.privateKey, jwk, thumbprint: thumbprint(jwk) };
  }

  addKey(alg, kid) {
    const key = this.makeKey(alg, kid);
    this.keys.push(key);
    this.write();
    return key;
  }

  // Replaced atomically, as a good operator does.
  write(text = JSON.stringify({ keys: this.keys.map((k) => k.jwk) })) {
    fs.writeFileSync(`${this.jwksFile}.new`, text);
    fs.renameSync(`${this.jwksFile}.new`, this.jwksFile);
  }

  get algorithms() {
    return [...new Set(this.keys.map((k) => k.alg))];
  }

  // What goes into the configuration; overrides win.
  config(overrides = {}) {
    return {
      name: this.name,
      jwks_file: this.jwksFile,
      algorithms: this.algorithms,
      clock_skew: '0',
      max_token_lifetime: '24h',
      ...overrides,
    };
  }

  // Claims set to undefined are left out.
  claims(overrides = {}) {
    const iat = Math.floor(Date.now() / 1000);
    return { iss: this.name, sub: 'alice', jti: crypto.randomUUID(), iat, exp: iat + 3600, ...overrides };
  }

  sign(claims, { key = this.keys[0], header = {}, alg = key.alg } = {}) {
    const head = b64({ alg, typ: 'JWT', kid: key.kid, ...header });
    const data = `${head}.${b64(claims)}`;
    return `${data}.${signature(alg, key.private, Buffer.from(data)).toString('base64url')}`;
  }

  mint(overrides = {}, options = {}) {
    return this.sign(this.claims(overrides), options);
  }
}

export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
export const headerOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString());
