/* Which of the types that there are a client wants most (RFC 9110, 12.5.1). */
#ifndef ADMIN_ACCEPT_H
#define ADMIN_ACCEPT_H

/* The quality that the most specific fitting range of the header gives the type; 0: it is not
 * wanted. */
double accept_quality(const char *accept, const char *type);

#endif /* ADMIN_ACCEPT_H */
