#ifndef FAMILY_VERSION_H
#define FAMILY_VERSION_H

#define FAMILY_VERSION "1.0.0"

#endif
