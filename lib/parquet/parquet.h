/* parquet: writing (writer.h) and reading (reader.h) Apache Parquet files to and from columns. */
#ifndef SL_PARQUET_H
#define SL_PARQUET_H

#include "parquet/reader.h"
#include "parquet/writer.h"

#endif /* SL_PARQUET_H */
