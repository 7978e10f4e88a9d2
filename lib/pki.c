/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pki.c - a small certificate authority; see pki.h. The only file that makes keys. */

#include "lib/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/pki_file.h"

#define CA_NAME	     "flowferry CA"
#define SERIAL_BYTES 16	  /* RFC 5280 section 4.1.2.2: at most 20, unique; 127 random bits are */
#define SKEW_SECONDS 3600 /* a host whose clock is behind accepts a fresh certificate too */
#define DAY_SECONDS  86400

static int error_tls(struct ff_error *err, int gnutls_err, const char *what, const char *name)
{
	return error_set(err, EIO, "internal", "see the entropy and memory of this machine",
			 "can't %s %s: %s", what, name, gnutls_strerror(gnutls_err));
}

static int privkey_generate(gnutls_x509_privkey_t *ret)
{
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t key = NULL;
	int r;

	r = gnutls_x509_privkey_init(&key);
	if (r >= 0)
		r = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
						 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
						 0);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(key);
	return 0;
}

/* What a CA's and a host's certificate have in common. */
static int crt_begin(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *name,
		     time_t expires)
{
	unsigned char serial[SERIAL_BYTES], id[64];
	size_t id_size = sizeof(id);
	int r;

	r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
	if (r < 0)
		return r;
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and always of full length */
	if ((r = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
	    (r = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial))) < 0 ||
	    (r = gnutls_x509_crt_set_activation_time(crt, time(NULL) - SKEW_SECONDS)) < 0 ||
	    (r = gnutls_x509_crt_set_expiration_time(crt, expires)) < 0 ||
	    (r = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
					       (unsigned int)strlen(name))) < 0 ||
	    (r = gnutls_x509_crt_set_key(crt, key)) < 0 ||
	    (r = gnutls_x509_crt_get_key_id(crt, 0, id, &id_size)) < 0)
		return r;
	return gnutls_x509_crt_set_subject_key_id(crt, id, id_size);
}

/* The key first: a certificate without its key is worse to meet. */
static int pair_store(const char *dir, const char *name, gnutls_x509_privkey_t key,
		      gnutls_x509_crt_t crt, struct ff_error *err)
{
	_cleanup_(pki_datum_wipe) gnutls_datum_t key_pem = {};
	_cleanup_(pki_datum_wipe) gnutls_datum_t crt_pem = {};
	char key_path[PATH_MAX], crt_path[PATH_MAX];
	int r;

	r = pki_path(key_path, sizeof(key_path), dir, name, ".key", err);
	if (r >= 0)
		r = pki_path(crt_path, sizeof(crt_path), dir, name, ".pem", err);
	if (r < 0)
		return r;
	r = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
					      &key_pem);
	if (r >= 0)
		r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
	if (r < 0)
		return error_tls(err, r, "export", name);
	r = pki_file_create(key_path, 0600, &key_pem, err);
	if (r < 0)
		return r;
	r = pki_file_create(crt_path, 0644, &crt_pem, err);
	if (r < 0)
		unlink(key_path); /* just made by us: no certificate was ever issued for it */
	return r;
}

int pki_ca_create(const char *dir, struct ff_error *err)
{
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t key = NULL;
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	time_t expires = time(NULL) + (time_t)PKI_CA_DAYS * DAY_SECONDS;
	int r;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "refused",
				 "make its parent directory first, or choose another",
				 "can't create directory %s: %s", dir, strerror(errno));
	if ((r = privkey_generate(&key)) < 0 || (r = gnutls_x509_crt_init(&crt)) < 0 ||
	    (r = crt_begin(crt, key, CA_NAME, expires)) < 0 ||
	    /* Path length 0: it signs hosts, and no other authority. */
	    (r = gnutls_x509_crt_set_basic_constraints(crt, 1, 0)) < 0 ||
	    (r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN |
							    GNUTLS_KEY_CRL_SIGN)) < 0 ||
	    (r = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0)) < 0)
		return error_tls(err, r, "make", "a CA");
	return pair_store(dir, "ca", key, crt, err);
}

/* RFC 1123 host names, with underscores, and `*.` in front; beyond ASCII as punycode. */
static bool dns_name_valid(const char *name)
{
	size_t label = 0, length = strlen(name);

	if (strncmp(name, "*.", 2) == 0)
		name += 2;
	if (!*name || length > 253)
		return false;
	for (; *name; name++) {
		bool alnum = (*name >= '0' && *name <= '9') ||
			     ((*name | 0x20) >= 'a' && (*name | 0x20) <= 'z');

		if (*name == '.' ? label == 0 : !(alnum || *name == '_' || (*name == '-' && label)))
			return false;
		label = *name == '.' ? 0 : label + 1;
		if (label > PKI_NAME_MAX)
			return false;
	}
	return label > 0;
}

static int san_add(gnutls_x509_crt_t crt, const char *san, struct ff_error *err)
{
	unsigned char addr[16];
	int r;

	if (inet_pton(AF_INET, san, addr) == 1)
		r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, addr, 4,
							 GNUTLS_FSAN_APPEND);
	else if (inet_pton(AF_INET6, san, addr) == 1)
		r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, addr, 16,
							 GNUTLS_FSAN_APPEND);
	else if (dns_name_valid(san))
		r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, san,
							 (unsigned int)strlen(san),
							 GNUTLS_FSAN_APPEND);
	else
		return error_set(
			err, EINVAL, "bad-request",
			"give a DNS name, an IPv4 or an IPv6 address, without port or brackets",
			"'%s' is neither a host name nor an address", san);
	return r < 0 ? error_tls(err, r, "add the name", san) : 0;
}

static int sans_add(gnutls_x509_crt_t crt, const char *name, const char *const *sans,
		    struct ff_error *err)
{
	int r = san_add(crt, name, err);

	for (size_t i = 0; r >= 0 && sans && sans[i]; i++) {
		if (i == PKI_SANS_MAX)
			return error_set(err, E2BIG, "bad-request", "issue two certificates",
					 "certificate %s has more than %d names", name,
					 PKI_SANS_MAX);
		if (strcmp(sans[i], name) != 0)
			r = san_add(crt, sans[i], err);
	}
	return r;
}

/* The name becomes a file name and a DNS name at once. */
static int name_check(const char *name, struct ff_error *err)
{
	if (strlen(name) > PKI_NAME_MAX || *name == '*' || !dns_name_valid(name))
		return error_set(err, EINVAL, "bad-request",
				 "use at most 63 letters, digits, dots, hyphens and underscores",
				 "'%s' can't name a certificate", name);
	if (strcmp(name, "ca") == 0)
		return error_set(err, EINVAL, "bad-request", "choose another name",
				 "the name 'ca' belongs to the CA itself");
	return 0;
}

/* Loads the CA, and sees that its two parts belong together and that it may still sign. */
static int ca_load(const char *dir, gnutls_x509_crt_t *ret_crt, gnutls_x509_privkey_t *ret_key,
		   struct ff_error *err)
{
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t key = NULL;
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	unsigned char crt_id[64], key_id[64];
	size_t crt_size = sizeof(crt_id), key_size = sizeof(key_id);
	char path[PATH_MAX];
	int r;

	if ((r = pki_path(path, sizeof(path), dir, "ca", ".pem", err)) < 0 ||
	    (r = pki_crt_load(path, &crt, err)) < 0 ||
	    (r = pki_path(path, sizeof(path), dir, "ca", ".key", err)) < 0 ||
	    (r = pki_privkey_load(path, &key, err)) < 0)
		return r;
	if ((r = gnutls_x509_crt_get_key_id(crt, 0, crt_id, &crt_size)) < 0 ||
	    (r = gnutls_x509_privkey_get_key_id(key, 0, key_id, &key_size)) < 0)
		return error_tls(err, r, "read", path);
	if (crt_size != key_size || memcmp(crt_id, key_id, key_size) != 0)
		return error_set(err, EBADMSG, "refused", "restore the two from the same backup",
				 "%s is not the key of %s/ca.pem", path, dir);
	if (gnutls_x509_crt_get_ca_status(crt, NULL) <= 0)
		return error_set(err, EBADMSG, "refused", "make a CA with `flowferry pki init`",
				 "%s/ca.pem is no CA certificate", dir);
	if (gnutls_x509_crt_get_expiration_time(crt) <= time(NULL))
		return error_set(err, EKEYEXPIRED, "refused",
				 "make a new CA in a new directory, and issue from that",
				 "%s/ca.pem has expired", dir);
	*ret_crt = TAKE_PTR(crt);
	*ret_key = TAKE_PTR(key);
	return 0;
}

int pki_issue(const char *dir, const char *name, const char *const *sans, struct ff_error *err)
{
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t ca_key = NULL;
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t key = NULL;
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t ca = NULL;
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	time_t expires = time(NULL) + (time_t)PKI_LEAF_DAYS * DAY_SECONDS;
	unsigned char ca_id[64];
	size_t ca_id_size = sizeof(ca_id);
	int r;

	if ((r = name_check(name, err)) < 0 || (r = ca_load(dir, &ca, &ca_key, err)) < 0)
		return r;
	expires = MIN(expires, gnutls_x509_crt_get_expiration_time(ca));
	if ((r = privkey_generate(&key)) < 0 || (r = gnutls_x509_crt_init(&crt)) < 0 ||
	    (r = crt_begin(crt, key, name, expires)) < 0 ||
	    (r = gnutls_x509_crt_set_basic_constraints(crt, 0, -1)) < 0 ||
	    (r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE)) < 0 ||
	    (r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0)) < 0 ||
	    (r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0)) < 0 ||
	    (r = gnutls_x509_crt_get_key_id(ca, 0, ca_id, &ca_id_size)) < 0 ||
	    (r = gnutls_x509_crt_set_authority_key_id(crt, ca_id, ca_id_size)) < 0)
		return error_tls(err, r, "make the certificate", name);
	r = sans_add(crt, name, sans, err);
	if (r < 0)
		return r;
	r = gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0);
	if (r < 0)
		return error_tls(err, r, "sign the certificate", name);
	return pair_store(dir, name, key, crt, err);
}
